#pragma once

namespace fedmpi {

// The page's style sheet. No '<' and no '&': it stands in the page as it is.
extern const char* const report_style;

}  // namespace fedmpi
