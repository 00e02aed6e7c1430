import FuzzSupport

/// A log made by a recipe (`HRLRecipe`): reader, checker, recovery and the model of the document say the same of it,
/// whether it is accepted, why not, and every write.
@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = [UInt8](UnsafeBufferPointer(start: start, count: count))
    guard let recipe = HRLRecipe(input) else { return 0 }
    let agreement = HRLAgreement(
        recipe.file, diskByteCount: recipe.diskByteCount, accepted: recipe.accepted)
    if let disagreement = agreement.disagreement() { preconditionFailure(disagreement) }
    return 0
}
