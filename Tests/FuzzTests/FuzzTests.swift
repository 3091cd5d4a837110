import FuzzTargets
import Testing

@Suite("Readers of strangers' bytes")
struct FuzzTests {
    @Test(
        "the inputs to begin with are sound, so that changes reach what lies behind them",
        arguments: FuzzTarget.allCases)
    func seeds(_ target: FuzzTarget) {
        #expect(!target.seeds.isEmpty && target.seeds.allSatisfy { $0.count <= FuzzTarget.limit })
        for (index, seed) in target.seeds.enumerated() { #expect(target.run(seed), "\(target) \(index)") }
    }

    @Test("what earlier runs kept is read without a trap", arguments: FuzzTarget.allCases)
    func corpus(_ target: FuzzTarget) {
        let inputs = target.corpus()
        #expect(inputs.count > 10 && inputs.allSatisfy { !$0.isEmpty && $0.count <= FuzzTarget.limit })
        for input in inputs { target.run(input) }
    }

    /// A trap ends the whole test process; `dropreel-fuzz TARGET --seed 1 --runs 5000` finds the input.
    @Test("5,000 mutated inputs each", arguments: FuzzTarget.allCases)
    func mutations(_ target: FuzzTarget) {
        var distinct: Set<[UInt8]> = []
        for seed in 1...5_000 as ClosedRange<UInt64> {
            var mutator = Mutator(target, seed: seed)
            let input = mutator.next()
            target.run(input)
            distinct.insert(input)
        }
        #expect(distinct.count > 4_000)
    }

    @Test("the same seed is the same input")
    func repeatable() {
        for target in FuzzTarget.allCases {
            var (first, second) = (Mutator(target, seed: 42), Mutator(target, seed: 42))
            #expect(first.next() == second.next())
        }
    }
}
