3
membersharbour	ïÍ«‰gE#2[Ü­vËãõ;ğÇ‰3, [