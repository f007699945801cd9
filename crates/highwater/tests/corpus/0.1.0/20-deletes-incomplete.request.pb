3
membersharbour	Ò.ÁD£Íå‘c2[Ü­vËãõ;ğÇ‰3, [