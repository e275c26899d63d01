// The packages of the platforms, of which one at most is installed; index.d.ts has what each exports.
declare module 'pgpool-rs-*';
