L
membersharbourB8
	Jº£qÌ'º]
DÕåî5ß Õ*MB§²çrŒÞûÿs—®k«´pï©·A>Öc