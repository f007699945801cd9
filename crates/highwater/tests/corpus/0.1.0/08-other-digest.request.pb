
groupsalice	ıĞA˜Çë 