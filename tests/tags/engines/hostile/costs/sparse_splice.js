const list = [];
list.length = 4294967290;
list.unshift(1);
