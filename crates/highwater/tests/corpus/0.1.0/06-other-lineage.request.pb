!
membersharbour	ïÍ«‰gE#	 