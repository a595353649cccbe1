const regex = require('createRegex')('(?P<constructor>a)(?P<__proto__>b)', 'g');
let reached = false;
'abab'.replace(regex, function () {
  const groups = arguments[arguments.length - 1];
  reached = reached || !!arguments.callee || groups.constructor !== 'a';
  return '';
});
return reached;
