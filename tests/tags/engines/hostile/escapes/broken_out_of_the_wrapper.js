return typeof leakOut !== 'undefined';
});
try { leakOut = 1; } catch (error) {}
(function (require, data) {
return typeof leakOut !== 'undefined' || !!this;
