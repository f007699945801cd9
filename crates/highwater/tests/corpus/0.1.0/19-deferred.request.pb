3
membersharbour	Jº£qÌ'ºc•9öŒÃl£“ò¹¾$øe [