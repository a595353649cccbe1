const list = [];
list.length = 4294967295;
return require('JSON').stringify(list);
