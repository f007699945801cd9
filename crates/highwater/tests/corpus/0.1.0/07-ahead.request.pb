!
membersharbour	Т.БDЈНе‘h 