return !!(() => 0).constructor;
