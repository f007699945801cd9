3
membersharbour	Jº£qÌ'º]2ñ¤
UÚŸôêçÔ_	 ]