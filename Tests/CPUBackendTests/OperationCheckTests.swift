import CPUBackend
import OperationChecks
import Testing

/// The checks that a GPU must pass, too.
@Suite struct OperationCheckTests {
    @Test(arguments: CPULevel.available) func everyOperation(_ level: CPULevel) {
        let backend = CPUBackend(threads: 3, level: level)
        var failures: [String] = []
        let counts = OperationChecks.run(on: backend) { if !$0.passed { failures.append($0.description) } }
        #expect(failures == [] && counts.passed > 500)
    }
}
