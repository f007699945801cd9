0
membersdock	UîmÈOÁ¼{RYxõ®«Y*Ç 