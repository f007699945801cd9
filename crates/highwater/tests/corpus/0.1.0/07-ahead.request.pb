!
membersharbour	†ıÿJEá»Hh 