3
membersharbour	†ıÿJEá»H]$	7zi`@Aã†¶¹ ]