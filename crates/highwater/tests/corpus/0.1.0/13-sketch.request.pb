.
membersharbour:
	ÀOÍÍşÎf]—è’ík×0 