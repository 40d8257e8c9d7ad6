/** Faults that take more than one answer, at every provider: a blip, a rotation, another person. */
import { testCourses } from '../fixtures/fault-table.ts'

testCourses()
