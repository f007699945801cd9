L
membersharbourB8
	ÀOÍÍşÎf]—è’ík× ×¾sK¹xÄè+œ}\Då¹w‡¼˜ô:4tÏÀOÄÉ