.
membersharbour:
	Т.БDЈНе‘]Те8А*0 