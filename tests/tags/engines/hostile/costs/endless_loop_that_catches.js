for (;;) {
  try { for (;;) {} } catch (error) {} finally { continue; }
}
