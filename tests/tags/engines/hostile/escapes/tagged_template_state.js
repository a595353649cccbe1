const tag = (parts) => parts;
const parts = tag`x`;
try { parts.kept = (parts.kept || 0) + 1; } catch (error) {}
return !!parts.kept;
