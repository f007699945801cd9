5
membersharbour	†ıÿJEá»H]$	7zi`@Aã†¶¹ ]0