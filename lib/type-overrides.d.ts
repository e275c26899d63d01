import { TypeOverrides } from '../index.js';

export = TypeOverrides;
