0
membersdock	fМrзЭ¬Њ:їф#`	PџСп@Ѓ{;JЈг 