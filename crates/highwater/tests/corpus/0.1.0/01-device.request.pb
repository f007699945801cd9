0
groupsalice	bºh2kíHsŒny0™‹y2ı¼m÷ 6
membersharbour	Jº£qÌ'º]2ñ¤
UÚŸôêçÔ_	 ]0È