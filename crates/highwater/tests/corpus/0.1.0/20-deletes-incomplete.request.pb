3
membersharbour	†ıÿJEá»Hc¯Ó+P°ã¶0îGÓéÜ [