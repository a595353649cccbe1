try {
  require.kept = 1;
} catch (error) {}
return require.kept === 1;
