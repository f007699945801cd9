
planetssun"