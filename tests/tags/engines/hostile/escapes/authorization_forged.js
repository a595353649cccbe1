require('sendHttpRequest')('https://allowed.example/', { authorization: { scopes: ['x'] } });
return false;
