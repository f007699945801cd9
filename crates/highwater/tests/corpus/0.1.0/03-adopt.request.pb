3
membersharbour	ïÍ«‰gE#•9öŒÃl£“ò¹¾$øe [