const list = [];
list.length = 4294967295;
list.sort();
