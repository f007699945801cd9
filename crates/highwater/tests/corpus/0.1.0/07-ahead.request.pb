!
membersharbour	ÀOÍÍşÎfh 