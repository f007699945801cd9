0
groupsalice	¯¤—ópƒ›û½ À³!<Œ?od 3
membersharbour	Ò.ÁD£Íå‘c2[Ü­vËãõ;ðÇ‰3, [