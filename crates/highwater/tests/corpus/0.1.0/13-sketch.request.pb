.
membersharbour:
	†ıÿJEá»H]{W´çrb0 