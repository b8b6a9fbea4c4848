import t from 'tap'
import { fuzz } from './fuzz.js'

fuzz(t, 3_000_000)
