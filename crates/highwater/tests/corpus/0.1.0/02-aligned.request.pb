0
groupsalice	ýÐA˜Çë †‡Ö‹À½R!­<$öþÑs 3
membersharbour	†ýÿJEá»Hc¯Ó+P°ã¶0îGÓéÜ [