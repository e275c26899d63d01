// What `import` sees: the names of index.d.ts, and all of them as the default export.

import * as pg from './index.js';

export * from './index.js';
export default pg;
