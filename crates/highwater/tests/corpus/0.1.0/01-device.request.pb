0
groupsalice	¯¤—ópXvGjÍ0dïáúká1D(e 6
membersharbour	Ò.ÁD£Íå‘]K‰Ÿj51ªcD…:À1? ]0È