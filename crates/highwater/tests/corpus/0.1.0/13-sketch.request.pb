.
membersharbour:
	Jº£qÌ'º]
DÕåî5ß0 