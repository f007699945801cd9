3
membersharbour	ïÍ«‰gE#¯Ó+P°ã¶0îGÓéÜ [