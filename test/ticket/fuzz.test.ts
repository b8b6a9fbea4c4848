import t from 'tap'
import { fuzz } from './fuzz.js'

fuzz(t, 100_000)
