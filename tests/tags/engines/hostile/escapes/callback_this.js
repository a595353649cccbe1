let seen;
[1].forEach(function () { seen = this; });
'x'.replace('x', function () { seen = seen || this; return ''; });
return seen !== undefined;
