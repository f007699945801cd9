0
groupsalice	5I¢Ç±z¿h—z» >œV®ŞŒd™‚) 3
membersharbour	ÀOÍÍşÎfcïÕQ×èí;=Ãg [