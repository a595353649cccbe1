let got = false;
try {
  import('os').then(() => { got = true; });
} catch (error) {}
return got;
