!
membersharbour	Jº£qÌ'ºh 