5
membersharbour	Ò.ÁD£Íå‘]K‰Ÿj51ªcD…:À1? ]0