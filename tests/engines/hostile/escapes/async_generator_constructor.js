return !!(async function* () {}).constructor;
