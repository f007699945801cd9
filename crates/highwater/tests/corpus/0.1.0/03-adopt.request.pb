3
membersharbour	пЌЂЙgE#п’Q„ин;Э=√gО [