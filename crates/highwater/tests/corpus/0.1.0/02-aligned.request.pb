0
groupsalice	bºh2kN^Tæ%GRĞ+·\ 3
membersharbour	Jº£qÌ'ºc•9öŒÃl£“ò¹¾$øe [